"""Many runs for one question: grids, the report's tables, searches, exports and shipped results."""
