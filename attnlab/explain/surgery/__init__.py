"""Surgery on attention: `operations` changes maps, `effect` measures what that does to predictions."""
