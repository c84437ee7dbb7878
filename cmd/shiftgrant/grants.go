package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/internal/admin"
)

func newGrants() *cobra.Command {
	command := &cobra.Command{
		Use:   "grants",
		Short: "List what people have allowed apps, and revoke it",
	}
	client := overSocket(command)
	command.AddCommand(newGrantsList(client), newGrantsRevoke(client))
	return command
}

// chooseGrants are the flags that choose grants.
func chooseGrants(command *cobra.Command, choice *admin.Choice) {
	flags := command.Flags()
	flags.StringVar(&choice.App, "app", "", "grants of this app only (`ID`)")
	flags.StringVar(&choice.Person, "person", "", "grants of this person only (database user or `ID`)")
	flags.StringVar(&choice.Warehouse, "warehouse", "", "grants on this warehouse only (`NAME`)")
}

func newGrantsList(client func() *admin.Client) *cobra.Command {
	var choice admin.Choice
	var out *output
	command := &cobra.Command{
		Use:     "list",
		Short:   "List grants that are alive, the newest first",
		Example: "  shiftgrant grants list --app stargazer\n  shiftgrant grants list --person alice --json",
		Args:    noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			grants, err := client().Grants(command.Context(), choice)
			if err != nil {
				return err
			}
			return table(out, command, grants, "ID\tAPP\tPERSON\tWAREHOUSE\tSINCE\tUNTIL\tSCOPES", func(w io.Writer, g admin.Grant) {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", g.ID, g.App, g.DatabaseUser, g.Warehouse,
					g.CreatedAt.Format(time.DateTime), g.ExpiresAt.Format(time.DateOnly), strings.Join(g.Scopes, " "))
			})
		},
	}
	out = withJSON(command)
	chooseGrants(command, &choice)
	return command
}

func newGrantsRevoke(client func() *admin.Client) *cobra.Command {
	var choice admin.Choice
	command := &cobra.Command{
		Use:   "revoke [ID…]",
		Short: "End grants, with their tokens and running statements",
		Long: `End grants. Their tokens are refused within a second on every gateway of the store, and their
running statements are cancelled in the warehouse within five.`,
		Example: `  shiftgrant grants revoke gra_06b3hk2p5s2nrk2v
  shiftgrant grants revoke --app stargazer
  shiftgrant grants revoke --person alice --why "lost laptop"
  shiftgrant grants revoke --all`,
		RunE: func(command *cobra.Command, ids []string) error {
			choices := []admin.Choice{choice}
			if len(ids) > 0 {
				if choice != (admin.Choice{Why: choice.Why}) {
					return errors.New("give either IDs or flags that choose grants")
				}
				choices = nil
				for _, id := range ids {
					choices = append(choices, admin.Choice{Grant: id, Why: choice.Why})
				}
			}
			for _, c := range choices {
				revoked, err := client().RevokeGrants(command.Context(), c)
				if err != nil {
					return err
				}
				if c.Grant != "" && revoked == 0 {
					return fmt.Errorf("there is no living grant %s: shiftgrant grants list shows those there are", c.Grant)
				}
				fmt.Fprintf(command.OutOrStdout(), "revoked %s\n", counted(revoked, "grant"))
			}
			return nil
		},
	}
	chooseGrants(command, &choice)
	command.Flags().BoolVar(&choice.All, "all", false, "all grants there are")
	command.Flags().StringVar(&choice.Why, "why", "", "a `REASON` for the record")
	return command
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
