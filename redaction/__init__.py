"""Finds personal data and secrets in JSON trees and streams, and replaces them reversibly."""
