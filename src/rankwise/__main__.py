"""`python -m rankwise`, so that torchrun and `accelerate launch` can start the command line in several processes."""

from rankwise.cli.app import main

if __name__ == "__main__":
    main()
