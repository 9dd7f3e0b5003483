"""What the kernels run on: compiling and starting them, threads, memory, the words for arrays."""
