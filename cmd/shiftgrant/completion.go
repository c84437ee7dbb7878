package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// What completes must never be in the way: it says nothing of what fails, and is quick.
const completionTime = 2 * time.Second

// completeWords completes an option that is one of a few words.
func completeWords(command *cobra.Command, option string, words ...string) {
	_ = command.RegisterFlagCompletionFunc(option, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // fails where there is no such option
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
			names = append(names, cobra.CompletionWithDesc(one.Name, one.DisplayName))
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
		names, _, _ := warehousesOf(ctx, args[0])
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}
