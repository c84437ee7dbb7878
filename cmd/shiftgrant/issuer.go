package main

import (
	"fmt"
	"io"
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
There is nothing secret in them. A key is published before it signs: when there is a new one, from
` + "`shiftgrant keys rotate --issuer`" + ` or in issuer_kms, export again and put the files in place before
it is in use. What the files hold, and until when they are good, is said when they are written; the
gateway reminds of it in its log, and makes no new key by itself any more.

Where signing keys are in AWS KMS, this asks for their public halves, with AWS credentials as the
gateway finds them.`,
		Example: "  shiftgrant issuer export --config /etc/shiftgrant.yaml ./public\n  aws s3 cp --recursive ./public s3://BUCKET/ --content-type application/json",
		Args:    oneArgument("DIR"),
		RunE: func(command *cobra.Command, args []string) error {
			config, err := gateway.ReadConfig(path)
			if err != nil {
				return err
			}
			names := config.TenantNames()
			if tenant != "" {
				names = []string{tenant}
			}
			for n, name := range names {
				if n > 0 {
					fmt.Fprintln(command.OutOrStdout())
				}
				if err := exportIssuer(command.OutOrStdout(), config, name, args[0]); err != nil {
					return err
				}
			}
			return nil
		},
	}
	command.Flags().StringVarP(&path, "config", "c", "shiftgrant.yaml", "configuration `file` of the gateway")
	command.Flags().StringVar(&tenant, "tenant", "", "`name` of the tenant (default: all)")
	return command
}

// exportIssuer writes the files of one tenant. As its rooms lie beneath the base URL, so the files lie
// beneath the folder.
func exportIssuer(w io.Writer, config *gateway.Config, tenant, folder string) error {
	view, err := config.Tenant(tenant)
	if err != nil {
		return err
	}
	export, err := gateway.ExportIssuer(*view, time.Now, filepath.Join(folder, strings.TrimPrefix(view.Issuer, config.Issuer)))
	for _, file := range export.Files {
		fmt.Fprintln(w, "wrote", file)
	}
	if err != nil {
		return err
	}
	describeExport(w, export.Keys)
	return nil
}

// describeExport says what is in the files and when they are good no more.
func describeExport(w io.Writer, keys []issuer.KeyInfo) {
	fmt.Fprintln(w)
	for _, key := range keys {
		switch from, until := key.From.Format(time.RFC3339), key.Until.Format(time.RFC3339); key.State {
		case issuer.Signs:
			fmt.Fprintf(w, "key %s signs\n", key.ID)
		case issuer.Ahead:
			fmt.Fprintf(w, "key %s signs from %s: put the files in place a day before\n", key.ID, from)
		default:
			fmt.Fprintf(w, "key %s signs no more, and is in the files until what it signed has expired at %s\n", key.ID, until)
		}
	}
	again := "Export again when there is a new key"
	for _, key := range keys {
		if !key.Until.IsZero() {
			again += fmt.Sprintf(", and after %s to take %s out", key.Until.Format(time.RFC3339), key.ID)
		}
	}
	fmt.Fprintln(w, again+".")
}
