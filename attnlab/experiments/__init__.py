"""Many runs as one question: grids, the report's tables, searches, and what is shipped or exported of them."""
