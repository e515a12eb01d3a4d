"""Records -> Page of blocks -> text, Markdown or HTML; and records -> JSON, SARIF and GitHub annotations."""
