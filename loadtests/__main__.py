"""`python -m loadtests`: the benchmark."""

from loadtests.bench import main

if __name__ == "__main__":
    main()
