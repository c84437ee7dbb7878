package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

func newBackup() *cobra.Command {
	var data, config string
	command := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the SQLite database of a gateway while it serves",
		Long: `Copy the SQLite database of a gateway into a new file, while the gateway serves. The copy is the
database at one moment: complete, checked, on disk, and readable by you alone. It never
replaces a file. Keys and the audit record are files of their own: keep the keys, and apart
from this.

A database in PostgreSQL is backed up by pg_dump.`,
		Example: "  shiftgrant backup --data /var/lib/shiftgrant /backup/shiftgrant-2026-11-23.db",
		Args:    oneArgument("FILE"),
		RunE: func(command *cobra.Command, args []string) error {
			folder, err := databaseFolder(data, config)
			if err != nil {
				return err
			}
			if err := store.Backup(command.Context(), filepath.Join(folder, gateway.DatabaseFile), args[0]); err != nil {
				return err
			}
			fmt.Fprintln(command.OutOrStdout(), "backed up to", args[0])
			return nil
		},
	}
	command.Flags().StringVar(&data, "data", "/var/lib/shiftgrant", "data `folder` of the gateway")
	command.Flags().StringVarP(&config, "config", "c", "", "configuration `file` of the gateway, in place of --data")
	command.MarkFlagsMutuallyExclusive("data", "config")
	return command
}

// databaseFolder is where the SQLite database is, if that is where the gateway keeps things.
func databaseFolder(data, configPath string) (string, error) {
	if configPath == "" {
		return data, nil
	}
	config, err := gateway.ReadConfig(configPath)
	if err != nil {
		return "", err
	}
	if !config.Store.DSN.Secret().IsZero() {
		return "", errors.New("this gateway keeps its data in PostgreSQL: back it up by pg_dump, with the DSN of store.dsn")
	}
	return config.Data, nil
}
