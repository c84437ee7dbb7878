package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// aProfile is a login as it is kept here.
type aProfile struct {
	Profile   string    `json:"profile"`
	Gateway   string    `json:"gateway"`
	Warehouse string    `json:"warehouse,omitempty"`
	Subject   string    `json:"subject"`
	Name      string    `json:"name,omitempty"`
	Scopes    []string  `json:"scopes"`
	CreatedAt time.Time `json:"created_at"`
	KeptIn    string    `json:"kept_in"`
}

func newProfiles() *cobra.Command {
	command := &cobra.Command{
		Use:     "profiles",
		Short:   "List the logins that are kept here",
		Long:    "List the logins that are kept here, by their profiles. It asks no gateway: whoami says whether a login is still good.",
		Example: "  shiftgrant profiles\n  shiftgrant profiles --json",
		Args:    noArguments,
	}
	out := withJSON(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		profiles, err := keptProfiles(command.ErrOrStderr())
		if err != nil {
			return err
		}
		return table(out, command, profiles, "PROFILE\tPERSON\tGATEWAY\tWAREHOUSE\tSINCE", func(w io.Writer, one aProfile) {
			who := cmp.Or(one.Name, one.Subject)
			fmt.Fprintln(w, strings.Join([]string{one.Profile, printable(who), printable(one.Gateway), printable(one.Warehouse), one.CreatedAt.Local().Format(time.DateOnly)}, "\t"))
		})
	}
	return command
}

// keptProfiles reads what is known of each login; tokens are left where they are. One that cannot be
// read does not hide the others.
func keptProfiles(messages io.Writer) ([]aProfile, error) {
	shelf, err := openShelf()
	if err != nil {
		return nil, err
	}
	names, err := shelf.Profiles()
	if err != nil {
		return nil, err
	}
	profiles := []aProfile{} // in JSON, none is a list too
	for _, name := range names {
		l, err := shelf.Describe(name)
		if err != nil {
			fmt.Fprintf(messages, "shiftgrant: profile %s: %v\n", name, err)
			continue
		}
		profiles = append(profiles, aProfile{l.Profile, l.Gateway, l.Warehouse, l.Subject, l.Name, l.Scopes, l.CreatedAt, l.KeptIn})
	}
	return profiles, nil
}
