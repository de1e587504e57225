"""The page that opens a checkpoint of the original repositories."""
