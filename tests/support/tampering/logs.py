"""The logs that go through the matrix: ours, at each level, and two others as their README says."""
