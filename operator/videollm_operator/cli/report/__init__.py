"""`videollm plan --report`: one page for the browser, complete in one file."""
