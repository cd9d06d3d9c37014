"""Promises that hold however often one looks: `looks` has the statistics, `trusted` the document that every interface
shows. Pure."""
