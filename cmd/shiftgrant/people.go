package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/internal/admin"
)

func newPeople() *cobra.Command {
	command := &cobra.Command{
		Use:   "people",
		Short: "List people, keep them out, let them in",
		Long:  "List people, keep them out, let them in. NAME is a database user or an id.",
	}
	client := overSocket(command)
	command.AddCommand(
		newPeopleList(client),
		newPeopleChange("disable NAME", "Keep a person out: sessions end, tokens are refused, running statements are cancelled", "disabled",
			func(ctx context.Context, name string) (admin.Person, error) { return client().DisablePerson(ctx, name) }),
		newPeopleChange("enable NAME", "Let a person in again; their grants work as before", "enabled",
			func(ctx context.Context, name string) (admin.Person, error) { return client().EnablePerson(ctx, name) }),
		newPeopleChange("sign-out NAME", "End a person's browser sessions; the apps that they allowed go on", "signed out",
			func(ctx context.Context, name string) (admin.Person, error) { return client().SignOutPerson(ctx, name) }),
	)
	return command
}

func newPeopleList(client func() *admin.Client) *cobra.Command {
	var out *output
	command := &cobra.Command{
		Use:     "list",
		Short:   "List everybody who ever signed in",
		Example: "  shiftgrant people list\n  shiftgrant people list --json",
		Args:    noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			people, err := client().People(command.Context())
			if err != nil {
				return err
			}
			return table(out, command, people, "DATABASE USER\tID\tNAME\tSTATE\tLAST SIGN-IN\tISSUER\tSUBJECT", func(w io.Writer, p admin.Person) {
				state := "enabled"
				if p.Disabled {
					state = "disabled"
				}
				// What an IdP wrote must not reach the terminal as it stands.
				fmt.Fprintf(w, "%s\t%s\t%q\t%s\t%s\t%s\t%q\n", p.DatabaseUser, p.ID, p.Name, state, p.SeenAt.Format(time.DateTime), p.Issuer, p.Subject)
			})
		},
	}
	out = withJSON(command)
	return command
}

func newPeopleChange(use, short, done string, change func(context.Context, string) (admin.Person, error)) *cobra.Command {
	verb, _, _ := strings.Cut(use, " ")
	return &cobra.Command{
		Use:     use,
		Short:   short,
		Example: "  shiftgrant people " + verb + " alice",
		Args:    oneArgument("NAME"),
		RunE: func(command *cobra.Command, args []string) error {
			person, err := change(command.Context(), args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(command.OutOrStdout(), "%s is %s\n", person.DatabaseUser, done)
			return nil
		},
	}
}
