package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/internal/doctor"
	"github.com/shiftgrant/shiftgrant/internal/grant"
)

func newDoctor() *cobra.Command {
	var config doctor.Config
	command := &cobra.Command{
		Use:   "doctor [WAREHOUSE]",
		Short: "Walk the way into the warehouses link by link, and say what is broken and what mends it",
		Long: `Walk the way from the configuration to a row of a warehouse, link by link, and say what is
broken and what mends it: files, certificate, database, clock, issuer, identity provider, STS, the
gateway's own AWS keys, Identity Center, the role's trust, credentials or secret, network, login, who
that is in Redshift, and what they may read and change. Each identity chain has the links that it goes by.

It reads the configuration of ` + "`shiftgrant serve`" + `, and needs its keys: run it on the gateway's
machine and as its account, while the gateway runs. It changes nothing. With --as it goes into the
warehouse as that person, and runs a few statements there that read the catalog.

  ✓ holds   ! holds, with a remark   ✗ is broken   – was not tried

The exit code is 1 if a link is broken.`,
		Example: "  shiftgrant doctor --config /etc/shiftgrant.yaml\n  shiftgrant doctor sales --as ann\n  shiftgrant doctor sales --as ann --json",
		Args:    cobra.MaximumNArgs(1),
	}
	out := withJSON(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		if len(args) == 1 {
			config.Warehouse = args[0]
		}
		return runDoctor(command, out, config)
	}
	flags := command.Flags()
	flags.StringVarP(&config.File, "config", "c", "shiftgrant.yaml", "configuration `file` of the gateway")
	flags.StringVar(&config.Tenant, "tenant", grant.DefaultTenant, "`name` of the tenant, of those in the configuration")
	flags.StringVar(&config.As, "as", "", "the database user to be in the warehouse (default: stop before the login)")
	flags.StringVar(&config.Email, "email", "", "that person's e-mail `address`, for identity_center (default: a running gateway knows it)")
	command.ValidArgsFunction = completeConfigured
	return command
}

func runDoctor(command *cobra.Command, out *output, config doctor.Config) error {
	if !out.json {
		printer := &doctor.Printer{Out: command.OutOrStdout(), Color: styleOf(command.OutOrStdout()).on}
		if messages := command.ErrOrStderr(); showsProgress(messages) {
			printer.Progress = messages
		}
		config.Started, config.Ended = printer.Started, printer.Ended
	}
	report, err := doctor.Examine(command.Context(), config)
	if errors.Is(err, doctor.ErrNoWarehouse) || errors.Is(err, doctor.ErrDatabaseUser) {
		return usage(command, err.Error())
	}
	if err != nil {
		return err
	}
	if err := out.show(command, report, func(w io.Writer) { fmt.Fprintf(w, "\n%s\n", report.Summary()) }); err != nil {
		return err
	}
	return brokenLinks(report)
}

// brokenLinks makes broken links a failure of the command.
func brokenLinks(report *doctor.Report) error {
	var names []string
	for _, l := range report.Broken() {
		name := l.Link
		if l.Of != "" {
			name += " of " + l.Of
		}
		names = append(names, name)
	}
	switch len(names) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("a link is broken: %s", names[0])
	}
	return fmt.Errorf("%d links are broken: %s", len(names), strings.Join(names, ", "))
}

// isTerminal reports whether somebody watches.
func isTerminal(w io.Writer) bool {
	file, isFile := w.(*os.File)
	if !isFile {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
