package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func newExec() *cobra.Command {
	var withAWS bool
	command := &cobra.Command{
		Use:   "exec [flags] -- PROGRAM [ARGUMENT…]",
		Short: "Run a program that connects to the warehouse by itself, such as psql or dbt",
		Long: `Run a program with a fresh database password of yours in its environment: PGHOST, PGPORT,
PGDATABASE, PGUSER, PGPASSWORD, PGSSLMODE and PGSSLROOTCERT, as libpq reads them, and REDSHIFT_HOST,
REDSHIFT_PORT, REDSHIFT_DATABASE, REDSHIFT_USER and REDSHIFT_PASSWORD for others. The password logs in
for 15 minutes; what is connected stays so. With --aws it gets temporary AWS credentials instead.

Where people are known by IAM Identity Center there is a token in place of a password, in
REDSHIFT_TOKEN and REDSHIFT_TOKEN_TYPE, for Amazon's drivers. If it is good for one connection, a
fresh one for each is at the URL in REDSHIFT_TOKEN_ENDPOINT for as long as the program runs.

The gateway has to give credentials for the warehouse, and the login has to be one with
--credentials. The exit code is the program's.`,
		Example: `  shiftgrant exec -- psql -c 'select current_user'
  shiftgrant exec --profile sales -- dbt run
  shiftgrant exec --aws -- aws sts get-caller-identity`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(command, "PROGRAM is missing")
			}
			return nil
		},
	}
	profile := withProfile(command)
	command.Flags().BoolVar(&withAWS, "aws", false, "give the program AWS credentials instead of a database password")
	command.Flags().SetInterspersed(false) // what follows PROGRAM is the program's
	command.RunE = func(command *cobra.Command, args []string) error {
		if withAWS {
			return execWithKeys(command, *profile, args)
		}
		return execWithLogin(command, *profile, args)
	}
	return command
}

func execWithKeys(command *cobra.Command, profile string, args []string) error {
	var keys awsKeys
	if err := takeCredentials(command.Context(), profile, "aws", &keys); err != nil {
		return err
	}
	return runProgram(command, args, map[string]string{
		"AWS_ACCESS_KEY_ID": keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY": keys.SecretAccessKey, "AWS_SESSION_TOKEN": keys.SessionToken,
		"AWS_REGION": keys.Region, "AWS_DEFAULT_REGION": keys.Region, "AWS_PROFILE": "",
	})
}

// execWithLogin gives the program what opens the warehouse's port.
func execWithLogin(command *cobra.Command, profile string, args []string) error {
	database, err := takeDatabaseLogin(command.Context(), profile)
	if err != nil {
		return err
	}
	if database.Token != "" {
		return execWithToken(command, profile, args, database)
	}
	return execWithPassword(command, args, database)
}

func execWithPassword(command *cobra.Command, args []string, database databaseLogin) (err error) {
	variables := map[string]string{
		"PGHOST": database.Host, "PGPORT": strconv.Itoa(database.Port), "PGDATABASE": database.Database, "PGUSER": database.User, "PGPASSWORD": database.Password,
		"REDSHIFT_HOST": database.Host, "REDSHIFT_PORT": strconv.Itoa(database.Port), "REDSHIFT_DATABASE": database.Database, "REDSHIFT_USER": database.User, "REDSHIFT_PASSWORD": database.Password,
		// The password goes to nobody who cannot prove to be the warehouse.
		"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "system", "PGGSSENCMODE": "disable",
		"PGSERVICE": "", "PGHOSTADDR": "", // a service would win over all of these
		"REDSHIFT_TOKEN": "", "REDSHIFT_TOKEN_TYPE": "", "REDSHIFT_TOKEN_ENDPOINT": "", "REDSHIFT_IDENTITY_NAMESPACE": "",
	}
	if database.Authority != "" {
		folder, tempErr := os.MkdirTemp("", "shiftgrant-exec-")
		if tempErr != nil {
			return fmt.Errorf("keep the warehouse's certificate authority: %w", tempErr)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
		variables["PGSSLROOTCERT"] = filepath.Join(folder, "authority.pem")
		if err := os.WriteFile(variables["PGSSLROOTCERT"], []byte(database.Authority), 0o600); err != nil {
			return fmt.Errorf("keep the warehouse's certificate authority: %w", err)
		}
	}
	return runProgram(command, args, variables)
}

// programError carries the exit code of a program that was run. It has said why by itself.
type programError struct{ code int }

func (e *programError) Error() string {
	return "the program ended with exit code " + strconv.Itoa(e.code)
}

// runProgram runs a program until it ends. Ctrl-C reaches it without our help, and may mean something
// else to it than to end; what would end us alone is passed on, so that nothing is left behind.
func runProgram(command *cobra.Command, args []string, variables map[string]string) error {
	program := exec.CommandContext(context.WithoutCancel(command.Context()), args[0], args[1:]...)
	program.Stdin, program.Stdout, program.Stderr = command.InOrStdin(), command.OutOrStdout(), command.ErrOrStderr()
	program.Env = slices.DeleteFunc(os.Environ(), func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		_, replaced := variables[name]
		return replaced
	})
	for name, value := range variables {
		if value != "" {
			program.Env = append(program.Env, name+"="+value)
		}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := program.Start(); err != nil {
		return fmt.Errorf("run %s: %w", args[0], err)
	}
	done := make(chan error, 1)
	go func() { done <- program.Wait() }()
	for {
		select {
		case got := <-signals:
			_ = program.Process.Signal(got) // it may be gone already
		case err := <-done:
			var ended *exec.ExitError
			if errors.As(err, &ended) {
				return &programError{endCode(ended)}
			}
			return err
		}
	}
}

// endCode is what a shell would say.
func endCode(ended *exec.ExitError) int {
	if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return ended.ExitCode()
}
