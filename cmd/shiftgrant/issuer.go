package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	var path string
	command := &cobra.Command{
		Use:   "export DIR",
		Short: "Write the two files that AWS reads of a gateway it cannot reach",
		Long: `Write the discovery document and the public keys of the gateway as files, for a gateway that
the internet cannot reach. AWS verifies the gateway's assertions by these two, so put the folder
on a web server or a bucket that answers at the gateway's issuer URL:

  DIR/.well-known/openid-configuration   at ISSUER/.well-known/openid-configuration
  DIR/oauth2/jwks                        at ISSUER/oauth2/jwks

There is nothing secret in them. A key is published before it signs: after ` + "`shiftgrant keys rotate\nissuer`" + `, export again and put the files in place before the new key is in use.`,
		Example: "  shiftgrant issuer export --config /etc/shiftgrant.yaml ./public\n  aws s3 cp --recursive ./public s3://BUCKET/ --content-type application/json",
		Args:    oneArgument("DIR"),
		RunE: func(command *cobra.Command, args []string) error {
			written, err := exportIssuer(path, args[0])
			for _, file := range written {
				fmt.Fprintln(command.OutOrStdout(), "wrote", file)
			}
			return err
		},
	}
	command.Flags().StringVarP(&path, "config", "c", "shiftgrant.yaml", "configuration `file` of the gateway")
	return command
}

func exportIssuer(path, folder string) ([]string, error) {
	config, err := gateway.ReadConfig(path)
	if err != nil {
		return nil, err
	}
	keysFolder := config.Keys.Issuer
	if keysFolder == "" {
		keysFolder = filepath.Join(config.Data, "keys", "issuer")
	}
	// A key that is made here would be one that no gateway signs with.
	if _, err := os.Stat(keysFolder); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there are no keys in %s yet: start the gateway once", keysFolder)
	}
	keys, err := issuer.OpenKeys(keysFolder, time.Now())
	if err != nil {
		return nil, err
	}
	made, err := issuer.New(issuer.Config{URL: config.Issuer, Keys: keys})
	if err != nil {
		return nil, err
	}
	return made.Export(folder)
}
