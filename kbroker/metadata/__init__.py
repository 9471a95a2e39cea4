"""What the cluster knows about itself: records of the metadata log, replayed into immutable images. Pure."""
