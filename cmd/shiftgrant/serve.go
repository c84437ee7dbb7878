package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
)

func newServe() *cobra.Command {
	var path string
	var checkOnly bool
	command := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Long: `Run the gateway until it is told to stop (SIGINT or SIGTERM). It then takes no new
requests, lets running ones end, and exits.`,
		Example: "  shiftgrant serve --config /etc/shiftgrant.yaml\n  shiftgrant serve --config shiftgrant.yaml --check",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			config, err := gateway.ReadConfig(path)
			if err != nil {
				return err
			}
			if checkOnly {
				fmt.Fprintln(command.OutOrStdout(), "the configuration is good")
				return nil
			}
			logger := gateway.NewLogger(config.Log, command.ErrOrStderr())
			server, err := gateway.New(command.Context(), *config, gateway.Options{Logger: logger, Version: buildVersion()})
			if err != nil {
				return err
			}
			return server.Run(command.Context())
		},
	}
	command.Flags().StringVarP(&path, "config", "c", "shiftgrant.yaml", "configuration `file`")
	command.Flags().BoolVar(&checkOnly, "check", false, "check the configuration and exit")
	return command
}
