package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// output is how a command shows what it found: a table or a few lines for people, and with --json
// one document for programs.
type output struct{ json bool }

// withJSON gives a command --json.
func withJSON(command *cobra.Command) *output {
	o := &output{}
	command.Flags().BoolVar(&o.json, "json", false, "print one JSON document, for programs")
	return o
}

// show prints value, or what the function writes of it.
func (o *output) show(command *cobra.Command, value any, people func(io.Writer)) error {
	w := command.OutOrStdout()
	if !o.json {
		people(w)
		return nil
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}

// table prints values, or a table of them with a function that writes one row.
func table[T any](o *output, command *cobra.Command, values []T, header string, row func(io.Writer, T)) error {
	return o.show(command, values, func(w io.Writer) {
		columns := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		fmt.Fprintln(columns, header)
		for _, value := range values {
			row(columns, value)
		}
		_ = columns.Flush() // an error of standard output has nobody to be told
	})
}
