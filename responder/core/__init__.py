"""The pure middle: values in, values out; no clock, network, disk, thread or log."""
