// Systems without a call that bounds the memory of another process.

//go:build !linux

package git

func bound(int) {}
