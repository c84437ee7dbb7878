package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// A topicLine is a word of the outside world, and what it means to this program.
type topicLine struct{ word, means string }

// What is true of many commands is said once, in help topics, and in each man page.
var (
	exitCodes = []topicLine{
		{"0", "done"},
		{"1", "failed"},
		{"2", "the command line is wrong: another would have to be written"},
		{"3", "nobody is signed in, or the login has ended: sign in again"},
		{"4", "Redshift, or the gateway for it, refused the statement itself"},
		{"5", "the result is not whole: rows are missing"},
		{"124", "timed out (query --timeout); the statement was cancelled"},
		{"130", "interrupted; a statement that ran was cancelled"},
	}
	variables = []topicLine{
		{"SHIFTGRANT_PROFILE", "the login to use where --profile does not say; default without it"},
		{"SHIFTGRANT_KEYRING", "off keeps logins in files where there is a keyring, too"},
		{"SHIFTGRANT_GATEWAY", "the gateway that dev token asks, where --gateway does not say"},
		{"BROWSER", "the program that login opens a page with, and its arguments; else the system's"},
		{"NO_COLOR", "not empty: no bold, dim or coloured text; no-color.org"},
		{"TERM", "dumb: the same, and no line that shows progress"},
		{"XDG_CONFIG_HOME", "where the folder of logins is; else ~/.config (macOS, Windows: the system's place)"},
		{"AWS_*", "the gateway's own AWS credentials for serve and doctor, as AWS's tools read them"},
	}
	files = []topicLine{
		{"$XDG_CONFIG_HOME/shiftgrant/logins/PROFILE.json", "a login, readable by its owner alone; its tokens are in the system's keyring, or here where there is none"},
		{"$XDG_CONFIG_HOME/shiftgrant/logins/PROFILE.lock", "held while a login is refreshed, so that commands at the same time do not lose it; it stays"},
		{"~/.pgpass", "what pgpass --file writes for PostgreSQL's clients"},
		{"~/.aws/config", "where credential-process is named for AWS's tools"},
		{"shiftgrant.yaml", "the gateway's configuration, in the working folder unless --config says where"},
		{"/var/lib/shiftgrant", "the gateway's data, unless data of the configuration says where"},
	}
)

// newTopics are the texts of `shiftgrant help TOPIC`.
func newTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "exit-codes", Short: "What the exit codes mean", Long: "The exit codes of all commands. That of exec is the program's.\n\n" + tableOf(exitCodes)},
		{Use: "environment", Short: "Environment variables and files", Long: "Environment variables:\n\n" + tableOf(variables) + "\n\nFiles:\n\n" + listOf(files)},
	}
}

func tableOf(lines []topicLine) string {
	var b strings.Builder
	columns := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	for _, line := range lines {
		fmt.Fprintf(columns, "  %s\t%s\n", line.word, line.means)
	}
	_ = columns.Flush() // into memory
	return strings.TrimRight(b.String(), "\n")
}

func listOf(lines []topicLine) string {
	var b strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&b, "  %s\n      %s\n", line.word, line.means)
	}
	return strings.TrimRight(b.String(), "\n")
}

// groups are the parts of the list that help shows, with their commands.
var groups = []struct {
	id, title string
	commands  []string
}{
	{"people", "Query as yourself:", []string{"login", "query", "whoami", "profiles", "warehouses", "token", "exec", "pgpass", "credential-process", "logout"}},
	{"operators", "Run a gateway:", []string{"serve", "setup", "doctor", "apps", "grants", "people", "keys", "issuer", "audit", "backup"}},
	{"developers", "Try it, and test against it:", []string{"dev", "twin"}},
}

// arrange adds what goes with all commands: groups, help topics, completion and man pages.
func arrange(root *cobra.Command) {
	root.AddCommand(newTopics()...)
	root.AddCommand(newCompletion(), newMan())
	for _, group := range groups {
		root.AddGroup(&cobra.Group{ID: group.id, Title: group.title})
		for _, name := range group.commands {
			if command, _, err := root.Find([]string{name}); err == nil && command != root {
				command.GroupID = group.id
			}
		}
	}
	completeTheRest(root)
}
