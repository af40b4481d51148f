// A sample.
