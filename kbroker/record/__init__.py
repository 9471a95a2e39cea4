"""Record batches as bytes: header view, checksum, stamping in place, building, compression. Knows no disk, no log."""
