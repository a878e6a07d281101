// Runs one command by masterzen/winrm and writes stdout, stderr, exit status and what went wrong.
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/masterzen/winrm"
)

func main() {
	port, _ := strconv.Atoi(os.Args[1])
	endpoint := winrm.NewEndpoint("127.0.0.1", port, false, false, nil, nil, nil, 0)
	parameters := winrm.NewParameters("PT60S", "en-US", 153600)
	if os.Args[2] == "ntlm" {
		parameters.TransportDecorator = func() winrm.Transporter { return &winrm.ClientNTLM{} }
	}
	client, err := winrm.NewClientWithParameters(endpoint, os.Args[3], os.Args[4], parameters)
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	stdout, stderr, status, err := client.RunWithString(os.Args[5], "")
	fmt.Printf("%q %q %d %v\n", stdout, stderr, status, err)
}
