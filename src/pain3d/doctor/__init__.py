"""What is installed, which assets, which licences, and what would be faster."""
