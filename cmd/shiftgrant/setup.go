package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/setup"
)

func newSetup() *cobra.Command {
	var path, as, tenant string
	var remove bool
	var options setup.Options
	var choices []string
	for _, f := range setup.Formats {
		choices = append(choices, string(f))
	}
	command := &cobra.Command{
		Use:   "setup WAREHOUSE",
		Short: "Print what has to be made in AWS and in a warehouse so that people reach it",
		Long: `Print what the owner of a warehouse makes so that people reach it through the gateway, for the
identity chain that the configuration has: trust, roles and their least permissions in AWS, an issuer
and applications in IAM Identity Center, users, roles and grants in the warehouse. It calls nobody and
changes nothing: read what it prints, and run that.

Without --as it lists what there is to make. With it, it prints for

  cli              the AWS CLI, in a shell script that may be run again
  cloudformation   a CloudFormation stack
  terraform        Terraform, with the provider hashicorp/aws
  sql              the warehouse itself, as its administrator

The roles are those that the configuration names. An ARN that AWS makes up, such as that of an application
in Identity Center, may be missing in it: the commands of the CLI print it at their end. How to remove
everything is at the end of each, and is all that is printed with --remove.`,
		Example: "  shiftgrant setup sales --config /etc/shiftgrant.yaml\n" +
			"  shiftgrant setup sales --as cli > setup.sh && less setup.sh && sh setup.sh\n" +
			"  shiftgrant setup sales --as sql --schema sales --person ann | psql -h sales-prod.…redshift.amazonaws.com -p 5439 -U admin dev\n" +
			"  shiftgrant setup sales --as cli --remove",
		Args: oneArgument("WAREHOUSE"),
		RunE: func(command *cobra.Command, args []string) error {
			format := setup.Format(as)
			if as == "" {
				format = setup.Overview
			} else if !slices.Contains(setup.Formats, format) {
				return usage(command, "--as: write one of "+strings.Join(choices, ", "))
			}
			config, err := gateway.ReadDraft(path)
			if err != nil {
				return err
			}
			view, err := config.Tenant(tenant)
			if err != nil {
				return usage(command, err.Error())
			}
			options.Config, options.Warehouse = view, args[0]
			if command.Flags().Changed("config") {
				options.File = path
			}
			plan, err := setup.New(options)
			switch {
			case errors.Is(err, setup.ErrNoWarehouse), errors.Is(err, setup.ErrNoPrincipal):
				return usage(command, err.Error())
			case err != nil:
				return err
			case remove:
				return plan.WriteRemoval(command.OutOrStdout(), format)
			}
			return plan.Write(command.OutOrStdout(), format)
		},
	}
	flags := command.Flags()
	flags.StringVarP(&path, "config", "c", "shiftgrant.yaml", "configuration `file` of the gateway")
	flags.StringVar(&as, "as", "", "the `format` to print: "+strings.Join(choices, ", "))
	flags.StringVar(&tenant, "tenant", grant.DefaultTenant, "the `tenant` whose warehouse it is")
	flags.BoolVar(&remove, "remove", false, "print what takes it away again")
	flags.StringArrayVar(&options.Schemas, "schema", nil, "a `schema` that people may read (may be given again)")
	flags.StringArrayVar(&options.People, "person", nil, "a database `user` to make (may be given again)")
	flags.StringArrayVar(&options.Groups, "group", nil, "a `group` of Identity Center or Entra ID that may read (may be given again)")
	flags.StringVar(&options.Principal, "principal", "", "the `ARN` of the role that the gateway runs as in AWS, for chains that need its keys")
	flags.StringVar(&options.RedshiftApplication, "redshift-application", "", "the `ARN` of Redshift's application in Identity Center, for --as sql")
	flags.StringVar(&options.RedshiftRole, "redshift-role", "", "the `ARN` of the role that Redshift asks Identity Center as, for --as sql")
	completeWords(command, "as", choices...)
	command.ValidArgsFunction = completeConfigured
	return command
}
