package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every command that does something says how it is used, with an example unless it takes nothing,
// and fits on a screen.
func TestHelpOfEveryCommandTeaches(t *testing.T) {
	t.Parallel()
	var walk func(*cobra.Command)
	walk = func(command *cobra.Command) {
		for _, beneath := range command.Commands() {
			walk(beneath)
		}
		arguments := strings.Fields(command.CommandPath())[1:]
		var output bytes.Buffer
		root := newRoot()
		root.SetOut(&output)
		root.SetArgs(append(arguments, "--help"))
		if err := root.Execute(); err != nil {
			t.Errorf("%s --help: %v", command.CommandPath(), err)
		}
		help := output.String()
		most := 40
		if !command.HasParent() {
			most = 55 // which lists all commands
		}
		if lines := strings.Count(help, "\n"); lines > most {
			t.Errorf("%s --help has %d lines", command.CommandPath(), lines)
		}
		for line := range strings.Lines(help) {
			if len([]rune(line)) > 140 {
				t.Errorf("%s --help has a long line: %s", command.CommandPath(), line)
			}
		}
		if command.Short == "" || strings.HasSuffix(command.Short, ".") {
			t.Errorf("%s: short help %q, want a phrase without a period", command.CommandPath(), command.Short)
		}
		group := command.Annotations["group"] != ""
		takesSomething := strings.Contains(command.Use, " ") || command.LocalNonPersistentFlags().HasFlags()
		if !group && takesSomething && !strings.Contains(help, "Examples:\n  ") {
			t.Errorf("%s --help has no example", command.CommandPath())
		}
	}
	walk(newRoot())
}
