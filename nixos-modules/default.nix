# Everything. Importing it changes nothing until something is enabled.
{
  imports = [
    ./signer.nix
    ./gps.nix
    ./capture.nix
    ./sma.nix
    ./node.nix
    ./camera.nix
  ];
}
