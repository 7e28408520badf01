// The network of a machine: none, or one inside QEMU, to which ports of this host may lead.

package vm

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Forward is a TCP port of this host that leads to one of the guest.
type Forward struct {
	Address     netip.Addr // of this host
	Host, Guest uint16
}

// ParseForward reads a forward as it is typed: HOSTPORT:GUESTPORT, which only this host can reach,
// or ADDRESS:HOSTPORT:GUESTPORT.
func ParseForward(text string) (f Forward, err error) {
	bad := fmt.Errorf("%q is not HOSTPORT:GUESTPORT or ADDRESS:HOSTPORT:GUESTPORT, with ports from "+
		"1 to 65535 and an IPv4 address", text)
	parts := strings.Split(text, ":")
	if len(parts) == 2 {
		parts = append([]string{"127.0.0.1"}, parts...)
	}
	if len(parts) != 3 {
		return f, bad
	}
	if f.Address, err = netip.ParseAddr(parts[0]); err != nil || !f.Address.Is4() {
		return f, bad
	}
	for i, port := range []*uint16{&f.Host, &f.Guest} {
		n, err := strconv.ParseUint(parts[i+1], 10, 16)
		if err != nil || n == 0 {
			return f, bad
		}
		*port = uint16(n)
	}
	return f, nil
}

// String returns a forward for people.
func (f Forward) String() string {
	return fmt.Sprintf("%s:%d to port %d of the guest", f.Address, f.Host, f.Guest)
}

// Network is the network of a machine. The zero value is none.
type Network struct {
	Forwards []Forward
	// Outbound lets the guest reach whatever this host does, and this host's own servers as 10.0.2.2.
	// Without it the guest reaches nobody.
	Outbound bool
}

func (n Network) any() bool { return n.Outbound || len(n.Forwards) > 0 }

// arguments returns the options for the network. The card brings no program for the firmware, which
// would try to boot from the network.
func (n Network) arguments() []string {
	if !n.any() {
		return nil
	}
	netdev := "user,id=net0,ipv6=off,restrict=on"
	if n.Outbound {
		netdev = "user,id=net0,ipv6=off"
	}
	for _, f := range n.Forwards {
		netdev += fmt.Sprintf(",hostfwd=tcp:%s:%d-:%d", f.Address, f.Host, f.Guest)
	}
	return []string{"-netdev", netdev, "-device", "virtio-net-pci,netdev=net0,romfile="}
}
