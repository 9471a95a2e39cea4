"""The world as it is: the one package that touches os, socket, time, random and their like."""
