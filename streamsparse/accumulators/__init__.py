"""What a pass computes: additive arrays, filled block by block, merged by one fixed tree."""
