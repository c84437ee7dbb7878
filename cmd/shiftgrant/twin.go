package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
)

func newTwin() *cobra.Command {
	var options twinOptions
	command := &cobra.Command{
		Use:   "twin",
		Short: "Run the stand-in for an IdP, AWS and Redshift alone, for tests of your own",
		Long: `Run the twin alone: a stand-in for a company's identity provider, AWS STS, IAM, IAM
Identity Center, KMS, Secrets Manager, Redshift's control plane, its Data API and its own
protocol, over a real PostgreSQL with sample data. Point AWS's clients at it with the variable
AWS_ENDPOINT_URL or with --endpoint-url; docs/twin.md lists every operation.

It is for development and tests, and serves loopback only: its passwords and keys are printed, and
open nothing else. It trusts the tokens of one gateway, --issuer, which it asks for its keys.
Ctrl-C ends it and removes what it made.`,
		Example: "  shiftgrant twin\n  shiftgrant twin --port 0 --issuer http://localhost:8080 --ca twin.pem",
		Args:    noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := options.check(); err != nil {
				return usage(command, err.Error())
			}
			return runTwin(command.Context(), options, command.OutOrStdout(), command.ErrOrStderr())
		},
	}
	flags := command.Flags()
	flags.IntVar(&options.port, "port", devPort+2, "`port` of everything that speaks HTTP; 0 takes a free one")
	flags.IntVar(&options.wirePort, "wire-port", 0, "`port` of Redshift's own protocol; 0 takes a free one")
	flags.StringVar(&options.issuer, "issuer", fmt.Sprintf("http://localhost:%d", devPort), "`URL` of the gateway whose tokens AWS trusts here; \"\" for none")
	flags.StringArrayVar(&options.redirects, "redirect", nil, "redirect `URI` of the IdP's client, exactly (default: ISSUER/signin/callback/twin); may be repeated")
	flags.StringVar(&options.authority, "ca", "", "write the certificate that clients of Redshift's protocol have to trust to this `file`")
	flags.StringVar(&options.keep, "keep", "", "keep the database in this `folder` (default: a temporary one, removed at the end)")
	flags.StringVar(&options.postgres, "postgres", "", "`folder` of PostgreSQL's initdb and postgres (default: it is searched)")
	flags.StringVar(&options.level, "log-level", "warn", "what to log: debug, info, warn, error")
	return command
}

type twinOptions struct {
	port, wirePort int
	issuer         string
	redirects      []string
	authority      string
	keep           string
	postgres       string
	level          string
}

func (o *twinOptions) check() error {
	for _, p := range []struct {
		flag string
		port int
	}{{"port", o.port}, {"wire-port", o.wirePort}} {
		if p.port < 0 || p.port > 65535 {
			return fmt.Errorf("--%s: give a number from 1 to 65535, or 0 for a free port", p.flag)
		}
	}
	if o.port != 0 && o.port == o.wirePort {
		return errors.New("--wire-port: give another port than --port")
	}
	if u, err := url.Parse(o.issuer); o.issuer != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return errors.New("--issuer: give the gateway's URL, such as http://localhost:7420")
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, o.level) {
		return errors.New("--log-level: write one of: debug, info, warn, error")
	}
	return nil
}

func (o *twinOptions) config(logs io.Writer) (twin.Config, error) {
	config := twin.Config{
		Listen: "127.0.0.1:" + strconv.Itoa(o.port), WireListen: "127.0.0.1:" + strconv.Itoa(o.wirePort),
		Issuer: o.issuer, GatewayRedirectURIs: o.redirects, PostgresBin: o.postgres, AuthorityFile: o.authority,
		Logger: gateway.NewLogger(gateway.Log{Level: o.level, Format: "text"}, logs),
	}
	if len(o.redirects) == 0 && o.issuer != "" {
		config.GatewayRedirectURIs = []string{o.issuer + "/signin/callback/twin"}
	}
	if o.keep == "" {
		return config, nil
	}
	folder, _, err := devFolder(o.keep)
	config.Dir = folder
	return config, err
}

// runTwin runs until ctx ends or the database does.
func runTwin(ctx context.Context, options twinOptions, output, logs io.Writer) (err error) {
	config, err := options.config(logs)
	if err != nil {
		return err
	}
	for flag, port := range map[string]int{"port": options.port, "wire-port": options.wirePort} {
		if err := portIsFree(flag, port); err != nil {
			return err
		}
	}
	fmt.Fprintln(output, "starting the twin: a private PostgreSQL with 172,456 sales to ask about …")
	world, err := twin.Start(ctx, config)
	if errors.Is(err, postgres.ErrNotInstalled) {
		return errors.New("PostgreSQL's server, which the twin needs, was not found: install it (Debian, Ubuntu: apt-get install postgresql), or give the folder of its initdb and postgres with --postgres")
	}
	if errors.Is(err, twin.ErrAuthorityFile) {
		return fmt.Errorf("%w; choose another file with --ca", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, world.Close()) }()
	if options.authority != "" {
		defer func() { err = errors.Join(err, os.Remove(options.authority)) }()
	}
	introduce(output, world, options)
	select {
	case <-ctx.Done():
		return nil
	case <-world.Done():
		return errors.New("the twin's PostgreSQL has ended; --log-level debug shows its log")
	}
}

// portIsFree says what to do about a port that is not.
func portIsFree(flag string, port int) error {
	if port == 0 {
		return nil
	}
	probe, err := devListen("the twin", port, 0)
	if err != nil {
		return fmt.Errorf("port %d is taken, or not allowed: end what uses it, or choose another with --%s", port, flag)
	}
	return probe.Close()
}

// introduce says what is played, and how to reach it.
func introduce(w io.Writer, world *twin.Twin, options twinOptions) {
	gatewayKeys := twin.GatewayKeys()
	alice := twin.DeveloperKeys("alice")
	authority := world.URL() + "/ca.pem"
	if options.authority != "" {
		if absolute, err := filepath.Abs(options.authority); err == nil {
			authority = absolute
		}
	}
	roles := []string{
		twin.PeopleRoleARN + "   of people, with an identity context",
		twin.PartnerRoleARN + "   of account " + twin.PartnerAccount + ", external id " + twin.ExternalID,
	}
	trusts := "nobody's tokens (--issuer)"
	if options.issuer != "" {
		trusts = options.issuer
		roles = append([]string{twin.RoleARN + "   of people, by web identity", twin.GatewayRoleARN + "   of the gateway"}, roles...)
	}
	fmt.Fprintf(w, `
  everything by HTTP     %[1]s   (its front page has it all)
  identity provider      %[2]s   client %[3]s, secret %[4]s
  people                 alice, bob, admin, and everybody's password is %[5]s
  Redshift's protocol    %[6]s, database %[7]s   certificate: %[8]s
  trusts                 %[9]s, audiences %[10]s and %[11]s
  roles                  %[12]s
  Identity Center        %[13]s
  secret                 %[14]s

Try it by the AWS CLI, as alice
  export AWS_ACCESS_KEY_ID=%[15]s AWS_SECRET_ACCESS_KEY=%[16]s AWS_DEFAULT_REGION=%[17]s
  aws --endpoint-url %[1]s sts get-caller-identity
  aws --endpoint-url %[1]s redshift describe-clusters
The keys of a gateway in the account are %[18]s and %[19]s

ready (Ctrl-C ends it)
`, world.URL(), world.IdPIssuer(), twin.ClientID, twin.DefaultClientSecret, twin.Password, world.WireAddress(), twin.Database, authority,
		trusts, twin.Audience, twin.IdentityCenterAudience, strings.Join(roles, "\n"+strings.Repeat(" ", 25)), twin.ApplicationARN, twin.SecretARN,
		alice.AccessKeyID, alice.SecretAccessKey, twin.Region, gatewayKeys.AccessKeyID, gatewayKeys.SecretAccessKey)
}
