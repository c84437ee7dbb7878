package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/internal/issuer"
)

func newIssuer() *cobra.Command {
	command := &cobra.Command{Use: "issuer", Short: "Publish the gateway's public keys where AWS can read them"}
	command.AddCommand(newIssuerExport())
	return command
}

func newIssuerExport() *cobra.Command {
	var path, tenant string
	command := &cobra.Command{
		Use:   "export DIR",
		Short: "Write the two files that AWS reads of a gateway it cannot reach",
		Long: `Write the discovery document and the public keys of the gateway as files, for a gateway that
the internet cannot reach. AWS verifies the gateway's assertions by these two, so put the folder
on a web server or a bucket that answers at the gateway's issuer URL:

  DIR/.well-known/openid-configuration   at ISSUER/.well-known/openid-configuration
  DIR/oauth2/jwks                        at ISSUER/oauth2/jwks

Those of other tenants than the default one are in DIR/t/NAME, as their issuers are at ISSUER/t/NAME.
There is nothing secret in them. A key is published before it signs: after ` + "`shiftgrant keys rotate\n--issuer`" + `, export again and put the files in place before the new key is in use.`,
		Example: "  shiftgrant issuer export --config /etc/shiftgrant.yaml ./public\n  aws s3 cp --recursive ./public s3://BUCKET/ --content-type application/json",
		Args:    oneArgument("DIR"),
		RunE: func(command *cobra.Command, args []string) error {
			written, err := exportIssuers(path, tenant, args[0])
			for _, file := range written {
				fmt.Fprintln(command.OutOrStdout(), "wrote", file)
			}
			return err
		},
	}
	command.Flags().StringVarP(&path, "config", "c", "shiftgrant.yaml", "configuration `file` of the gateway")
	command.Flags().StringVar(&tenant, "tenant", "", "`name` of the tenant (default: all)")
	return command
}

// exportIssuers writes the files of one tenant, or of all.
func exportIssuers(path, tenant, folder string) ([]string, error) {
	config, err := gateway.ReadConfig(path)
	if err != nil {
		return nil, err
	}
	names := config.TenantNames()
	if tenant != "" {
		names = []string{tenant}
	}
	var written []string
	for _, name := range names {
		view, err := config.Tenant(name)
		if err != nil {
			return written, err
		}
		// As the gateway lies beneath the base URL, so the files lie beneath the folder.
		files, err := exportIssuer(view, filepath.Join(folder, strings.TrimPrefix(view.Issuer, config.Issuer)))
		written = append(written, files...)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func exportIssuer(config *gateway.Config, folder string) ([]string, error) {
	keysFolder := config.SigningKeys()
	// A key that is made here would be one that no gateway signs with.
	made, err := gateway.HasSigningKeys(keysFolder)
	if err != nil {
		return nil, err
	}
	if !made {
		return nil, fmt.Errorf("there are no keys in %s yet: start the gateway once", keysFolder)
	}
	keys, err := issuer.OpenKeys(keysFolder, time.Now())
	if err != nil {
		return nil, err
	}
	signer, err := issuer.New(issuer.Config{URL: config.Issuer, Keys: keys})
	if err != nil {
		return nil, err
	}
	return signer.Export(folder)
}
