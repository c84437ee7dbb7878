package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// What completes must never be in the way: it says nothing of what fails, and is quick.
const completionTime = 2 * time.Second

// completeWords completes an option that is one of a few words.
func completeWords(command *cobra.Command, option string, words ...string) {
	_ = command.RegisterFlagCompletionFunc(option, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // fails where there is no such option
}

// warehouseName is what a shell may be given: it puts it into a command as it is.
var warehouseName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// completion is a warehouse that can be chosen; none where a gateway gives it another kind of name.
func completion(name, description string) []string {
	if !warehouseName.MatchString(name) {
		return nil
	}
	return []string{cobra.CompletionWithDesc(name, printable(description))}
}

// completeProfiles completes --profile from the names of files.
func completeProfiles(command *cobra.Command) {
	_ = command.RegisterFlagCompletionFunc("profile", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		shelf, err := openShelf()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names, _ := shelf.Profiles()
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// completeWarehouses completes --warehouse with those that the profile's login opens.
func completeWarehouses(command *cobra.Command, profile *string) {
	_ = command.RegisterFlagCompletionFunc("warehouse", func(command *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(command.Context()), completionTime)
		defer cancel()
		session, err := openSession(*profile)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		warehouses, _ := listWarehouses(ctx, session)
		var names []string
		for _, one := range warehouses {
			names = append(names, completion(one.Name, one.DisplayName)...)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// completeWarehousesOf completes login's --warehouse with those of the gateway that it names.
func completeWarehousesOf(command *cobra.Command) {
	_ = command.RegisterFlagCompletionFunc("warehouse", func(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(command.Context()), completionTime)
		defer cancel()
		var names []string
		known, _, _ := warehousesOf(ctx, args[0])
		for _, name := range known {
			names = append(names, completion(name, "")...)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

func newCompletion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the script that completes commands in bash, zsh, fish or powershell",
		Long: `Print the script by which a shell completes commands, options and what they take: profiles,
warehouses, formats. Completing asks the gateway for the names of warehouses, and runs nothing.`,
		Example: `  source <(shiftgrant completion bash)   # this shell; in ~/.bashrc, each one
  shiftgrant completion bash > ~/.local/share/bash-completion/completions/shiftgrant   # with the package bash-completion
  # zsh: into a folder of $fpath
  shiftgrant completion zsh > "${fpath[1]}/_shiftgrant"
  shiftgrant completion fish > ~/.config/fish/completions/shiftgrant.fish
  shiftgrant completion powershell >> $PROFILE`,
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		Args:      oneArgument("SHELL"),
		RunE: func(command *cobra.Command, args []string) error {
			root, out := command.Root(), command.OutOrStdout()
			switch args[0] {
			case "bash":
				if _, err := io.WriteString(out, withoutBashCompletion); err != nil {
					return fmt.Errorf("print the script: %w", err)
				}
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			return usage(command, "SHELL: write one of: bash, zsh, fish, powershell")
		},
	}
}

// withoutBashCompletion stands in for the two functions of the package bash-completion that the script
// calls, where that is not installed: without them each tab prints an error.
const withoutBashCompletion = `if ! declare -F _get_comp_words_by_ref >/dev/null; then
    # bash splits words at = and :, which stand within words here.
    _get_comp_words_by_ref() {
        local i last=-1
        words=()
        for ((i = 0; i <= COMP_CWORD; i++)); do
            if ((last > 0)) && [[ ${COMP_WORDS[i]} == [=:]* || ${words[last]} == *[=:] ]]; then
                words[last]+=${COMP_WORDS[i]}
            else
                words[++last]=${COMP_WORDS[i]}
            fi
        done
        cword=$last cur=${words[last]} prev=${words[last - 1]}
    }
    __ltrim_colon_completions() { :; }
fi
`

// completeTheRest completes what options of the same name take everywhere, for a command and those beneath.
func completeTheRest(command *cobra.Command) {
	for _, beneath := range command.Commands() {
		completeTheRest(beneath)
	}
	for option, words := range map[string][]string{
		"log-level": {"debug", "info", "warn", "error"},
		"transport": {"auto", "wire", "dataapi"},
		"chain":     {"web_identity", "identity_center"},
	} {
		if command.Flags().Lookup(option) != nil {
			completeWords(command, option, words...)
		}
	}
	for _, option := range []string{"data", "keep", "postgres"} {
		_ = command.MarkFlagDirname(option) // fails where there is no such option
		_ = command.MarkPersistentFlagDirname(option)
	}
	_ = command.MarkFlagFilename("config", "yaml", "yml")
}

// completeConfigured completes a warehouse of the configuration file.
func completeConfigured(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	path, err := command.Flags().GetString("config")
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	// The names alone: the secrets, which the file points to, need not be within reach.
	var config struct {
		Warehouses []struct {
			Name        string `yaml:"name"`
			DisplayName string `yaml:"display_name"`
		} `yaml:"warehouses"`
	}
	_ = yaml.Unmarshal(content, &config)
	var names []string
	for _, warehouse := range config.Warehouses {
		names = append(names, completion(warehouse.Name, warehouse.DisplayName)...)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
