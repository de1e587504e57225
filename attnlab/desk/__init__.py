"""What a person at a browser may do: the only way from the pages to anything that writes, reads a path or ends work."""
