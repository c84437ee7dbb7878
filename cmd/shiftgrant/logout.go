package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/internal/login"
)

func newLogout() *cobra.Command {
	command := &cobra.Command{
		Use:   "logout",
		Short: "Revoke the login at the gateway and forget it here",
		Long: `Revoke the login at the gateway and forget it here. Statements that run for it are cancelled.
Nobody being signed in is no failure.`,
		Example: "  shiftgrant logout\n  shiftgrant logout --profile sales",
		Args:    noArguments,
	}
	profile := withProfile(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		session, err := openSession(*profile)
		var nobody *signedOutError
		if errors.As(err, &nobody) {
			fmt.Fprintln(command.ErrOrStderr(), "Nobody was signed in.")
			return nil
		}
		if err != nil {
			return err
		}
		local, remote := session.End(command.Context())
		switch {
		case errors.Is(local, login.ErrNone): // by another process, a moment ago
		case local != nil:
			return local
		case remote != nil:
			return fmt.Errorf("the login is gone from here, but the gateway could not be told (%w): end it at %s/connections", remote, session.Login().Gateway)
		}
		fmt.Fprintln(command.ErrOrStderr(), "Signed out.")
		return nil
	}
	return command
}
