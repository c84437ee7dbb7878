package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/person"
)

func newDevBrowse() *cobra.Command {
	var deny bool
	command := &cobra.Command{
		Use:   "browse PERSON URL",
		Short: "Open a page as a person of the twin, sign in there, and press Allow",
		Long: `Open a page as a person of the twin (alice, bob or admin), sign in and press Allow, as they would
in a browser, and print the words of the last page. As $BROWSER it lets scripts sign in.`,
		Example: "  BROWSER='shiftgrant dev browse alice' shiftgrant login http://localhost:7420",
		Args:    cobra.ExactArgs(2),
		RunE: func(command *cobra.Command, args []string) error {
			answer := person.Allow
			if deny {
				answer = person.Deny
			}
			words, err := person.New(args[0], twin.Password).Browse(command.Context(), args[1], answer)
			if err != nil {
				return fmt.Errorf("browse as %s: %w", args[0], err)
			}
			fmt.Fprintln(command.OutOrStdout(), words)
			return nil
		},
	}
	command.Flags().BoolVar(&deny, "deny", false, "press Deny")
	return command
}
