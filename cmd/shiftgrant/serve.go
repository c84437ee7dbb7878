package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

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
requests, lets running ones end, and exits. On SIGHUP it opens the audit record anew, after
log rotation has moved the file away.`,
		Example: "  shiftgrant serve --config /etc/shiftgrant.yaml\n  shiftgrant serve --config shiftgrant.yaml --check",
		Args:    noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			config, err := gateway.ReadConfig(path)
			if err != nil {
				return err
			}
			if checkOnly {
				fmt.Fprintln(command.OutOrStdout(), "the configuration is good")
				return nil
			}
			overlapDiskAndWork()
			logger := gateway.NewLogger(config.Log, command.ErrOrStderr())
			server, err := gateway.New(command.Context(), *config, gateway.Options{Logger: logger, Version: buildVersion()})
			if err != nil {
				return err
			}
			defer onHangup(command.Context(), func(ctx context.Context) {
				if err := server.ReopenAudit(ctx); err != nil {
					logger.Error("open the audit record anew", "error", err)
				}
			})()
			return server.Run(command.Context())
		},
	}
	command.Flags().StringVarP(&path, "config", "c", "shiftgrant.yaml", "configuration `file`")
	command.Flags().BoolVar(&checkOnly, "check", false, "check the configuration and exit")
	return command
}

// overlapDiskAndWork lets requests go on while a write waits for the disk, on a machine with one
// processor, too: there Go has a single place to run in, which a system call keeps for a while.
func overlapDiskAndWork() {
	if runtime.GOMAXPROCS(0) == 1 && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2)
	}
}

// onHangup does something at each SIGHUP until it is ended. A pipe that nobody reads any more is
// from then on an error of who writes to it, not the end of the process.
func onHangup(ctx context.Context, do func(context.Context)) (end func()) {
	signal.Ignore(syscall.SIGPIPE)
	hangups, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		defer close(ended)
		for range hangups {
			do(ctx)
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
		<-ended
	}
}
