package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/internal/admin"
	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// overSocket gives a command and those beneath it --data and --tenant, and a client for the tenant of
// the gateway there.
func overSocket(command *cobra.Command) func() *admin.Client {
	var data, tenant string
	flags := command.PersistentFlags()
	flags.StringVar(&data, "data", "/var/lib/shiftgrant", "data `folder` of the gateway")
	flags.StringVar(&tenant, "tenant", grant.DefaultTenant, "`name` of the tenant, of those in the configuration")
	return func() *admin.Client {
		return admin.NewClient(filepath.Join(data, gateway.AdminSocket)).For(tenant)
	}
}
