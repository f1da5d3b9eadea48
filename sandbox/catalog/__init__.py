"""What data there is: units, data sets, data items, their grades and versions; never the data."""
