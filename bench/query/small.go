package main

import "context"

func measureSmall(ctx context.Context, w *world, o options) error { return ctx.Err() }
