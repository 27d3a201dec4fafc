"""Black-box tests: the real gateway process between a real client and the test upstream."""
