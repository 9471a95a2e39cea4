"""Records of `__transaction_state`: key = int16 type and a `...Key` message; value = int16 version and a `...Value`."""
