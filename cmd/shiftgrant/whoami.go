package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/internal/login"
)

// whoIs is what whoami shows.
type whoIs struct {
	Profile      string   `json:"profile"`
	Gateway      string   `json:"gateway"`
	Subject      string   `json:"subject"`
	Name         string   `json:"name,omitempty"`
	Email        string   `json:"email,omitempty"`
	Warehouse    string   `json:"warehouse,omitempty"`
	DatabaseUser string   `json:"database_user,omitempty"`
	Scopes       []string `json:"scopes"`
	KeptIn       string   `json:"kept_in"`
}

func newWhoami() *cobra.Command {
	command := &cobra.Command{
		Use:     "whoami",
		Short:   "Say who you are: at the gateway, and in Redshift",
		Long:    "Say who you are: at the gateway, and in Redshift. It asks the gateway, so it also says whether the login is still good.",
		Example: "  shiftgrant whoami\n  shiftgrant whoami --profile sales --json",
		Args:    noArguments,
	}
	profile, out := withProfile(command), withJSON(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		session, err := openSession(*profile)
		if err != nil {
			return err
		}
		warehouses, err := listWarehouses(command.Context(), session)
		if err != nil {
			return err
		}
		l := session.Login()
		who := whoIs{Profile: l.Profile, Gateway: l.Gateway, Subject: l.Subject, Name: l.Name, Email: l.Email, Warehouse: l.Warehouse, Scopes: l.Scopes, KeptIn: l.KeptIn}
		for _, w := range warehouses {
			if w.Name == l.Warehouse {
				who.DatabaseUser = w.DatabaseUser
			}
		}
		return out.show(command, who, func(w io.Writer) { who.print(w) })
	}
	return command
}

func (i whoIs) print(w io.Writer) {
	for _, line := range []struct{ name, value string }{
		{"person", strings.TrimSpace(i.Name + " " + inBrackets(i.Email))},
		{"gateway", i.Gateway},
		{"warehouse", i.Warehouse},
		{"database user", i.DatabaseUser},
		{"may", strings.Join(i.Scopes, " ")},
		{"profile", i.Profile + ", kept in " + place(i.KeptIn)},
	} {
		if line.value != "" {
			fmt.Fprintf(w, "%-14s %s\n", line.name, printable(line.value))
		}
	}
}

func inBrackets(text string) string {
	if text == "" {
		return ""
	}
	return "<" + text + ">"
}

// aWarehouse is what the gateway says of a warehouse.
type aWarehouse struct {
	Name         string   `json:"name"`
	DisplayName  string   `json:"display_name"`
	Description  string   `json:"description,omitempty"`
	Transport    string   `json:"transport"`
	Region       string   `json:"region"`
	Database     string   `json:"database"`
	DatabaseUser string   `json:"database_user"`
	Capabilities []string `json:"capabilities"`
}

func newWarehouses() *cobra.Command {
	command := &cobra.Command{
		Use:     "warehouses",
		Short:   "List the warehouses that this login opens",
		Example: "  shiftgrant warehouses\n  shiftgrant warehouses --json",
		Args:    noArguments,
	}
	profile, out := withProfile(command), withJSON(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		session, err := openSession(*profile)
		if err != nil {
			return err
		}
		warehouses, err := listWarehouses(command.Context(), session)
		if err != nil {
			return err
		}
		return table(out, command, warehouses, "NAME\tSHOWN AS\tREGION\tDATABASE\tYOU ARE\tMAY", func(w io.Writer, one aWarehouse) {
			fmt.Fprintln(w, strings.Join([]string{
				printable(one.Name), printable(one.DisplayName), printable(one.Region), printable(one.Database), printable(one.DatabaseUser), printable(strings.Join(one.Capabilities, " ")),
			}, "\t"))
		})
	}
	return command
}

func listWarehouses(ctx context.Context, session *login.Session) ([]aWarehouse, error) {
	response, err := call(ctx, session, login.Request{Method: http.MethodGet, Path: "/v1/warehouses", Accept: "application/json"})
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Warehouses []aWarehouse `json:"warehouses"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("read the list of warehouses: %w", err)
	}
	return answer.Warehouses, nil
}
