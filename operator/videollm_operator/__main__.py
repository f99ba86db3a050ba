"""`python -m videollm_operator` is the `videollm` command."""

from videollm_operator.cli.main import main

if __name__ == "__main__":
    main()
