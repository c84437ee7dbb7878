// Command shiftgrant is OAuth 2.0 for Amazon Redshift: the gateway, and what goes with it.
//
// One file is one subcommand.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the release build; otherwise the module's own is used.
var version string

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRoot().ExecuteContext(ctx); err != nil {
		var program *programError
		if !errors.As(err, &program) { // which has said why by itself
			fmt.Fprintln(os.Stderr, "shiftgrant:", printableLines(explainInterrupt(ctx, err).Error()))
		}
		return exitCode(err)
	}
	return 0
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "shiftgrant",
		Short: "OAuth 2.0 for Amazon Redshift",
		Long: `OAuth 2.0 for Amazon Redshift: a third-party app says "Connect Amazon Redshift",
the person signs in at their own IdP and consents, and the app runs SQL as that person.

To see it all on this machine, without AWS:  shiftgrant dev`,
		Version:       buildVersion(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newDev(), newServe(), newApps(), newGrants(), newPeople(), newKeys(), newIssuer(), newBackup(), newAudit(), newSetup(), newDoctor())
	root.AddCommand(newTwin(), newLogin(), newLogout(), newWhoami(), newProfiles(), newToken(), newQuery(), newWarehouses())
	root.AddCommand(newExec(), newPgpass(), newCredentialProcess())
	arrange(root)
	explainUsage(root)
	return root
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
