"""One file per API key; the only code that knows what a version means. `registry` finds them."""
