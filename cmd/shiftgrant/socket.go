package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/internal/admin"
	"github.com/shiftgrant/shiftgrant/internal/gateway"
)

// overSocket gives a command and those beneath it --data, and a client for the gateway there.
func overSocket(command *cobra.Command) func() *admin.Client {
	var data string
	command.PersistentFlags().StringVar(&data, "data", "/var/lib/shiftgrant", "data `folder` of the gateway")
	return func() *admin.Client { return admin.NewClient(filepath.Join(data, gateway.AdminSocket)) }
}
