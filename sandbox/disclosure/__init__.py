"""What may come out: rules on each cell, on each table, and on everything that was ever released."""
