"""What a node or the server makes of a federation's last sums; the arithmetic is in `yingbi.models`."""
